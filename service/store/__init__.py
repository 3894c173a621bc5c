"""The only S3: objects by digest, verified; uploads straight to the server; file headers."""
