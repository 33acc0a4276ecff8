"""What `deploy/check` is made of: reporting, the stack, a client, the story and a steady load."""
