"""Other services' records, read into Lossatlas. Each needs its own library, an extra."""
