"""Gates: rules over a landscape's derived measures, and when two landscapes can be compared."""
