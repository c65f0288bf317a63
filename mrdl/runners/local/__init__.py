"""The runners without Java: in this process, or in children of a warm one."""
