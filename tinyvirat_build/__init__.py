"""tinyvirat-build: datasets of tiny actions from surveillance video."""
