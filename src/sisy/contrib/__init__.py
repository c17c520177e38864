"""For packages that change how Django looks."""
