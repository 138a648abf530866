"""Labels that do not exclude each other: a row has any number of them."""
