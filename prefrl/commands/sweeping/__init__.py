"""What `prefrl sweep` is made of: the file's rows, the engines that run them, and what is kept of each run."""
