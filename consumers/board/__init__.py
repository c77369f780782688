"""The board: what the stream does, in a browser and in feed readers."""
