"""Source videos to clips: frame numbers from packets, exact cutting in one pass, and its proof."""
