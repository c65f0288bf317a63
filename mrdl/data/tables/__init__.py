"""Tables: columns of words in; out come what they hold, what each is made to be, and the features of rows."""
