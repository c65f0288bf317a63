"""The MapReduce jobs. They contain no maths: each passes its input lines to a function of mrdl."""
