"""People in browsers: sessions opened by a key, and ended."""
