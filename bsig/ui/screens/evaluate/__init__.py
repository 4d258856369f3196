"""The Evaluate screen: shipped results, and the same measured on a visitor's own pictures."""
