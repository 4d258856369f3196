"""The Compare screen: both branches' maps of one picture and class, side by side."""
