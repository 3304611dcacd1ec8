"""What goes in: images, their labels, and the preprocessing that turns them into an input."""
