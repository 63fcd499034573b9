"""Independent writers of images and parts of images, and the tools that make them."""
