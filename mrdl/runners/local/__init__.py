"""The runners that need no Java: tasks run in this process, or in child processes that are kept."""
