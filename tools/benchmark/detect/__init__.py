"""How fast faces are found."""
