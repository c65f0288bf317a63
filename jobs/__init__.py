"""The MapReduce jobs. They hold no maths: each connects lines to a function of mrdl."""
