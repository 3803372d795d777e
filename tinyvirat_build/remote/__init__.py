"""Videos that lie elsewhere: on object storage or a web server, read by ranges of their bytes."""
