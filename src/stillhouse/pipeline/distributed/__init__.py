"""A run on several processes: shares of its labelling and of its fits, and processes that follow the first one."""
