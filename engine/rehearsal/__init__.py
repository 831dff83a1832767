"""What a run will take, from a sample of it: `rehearse`, and what that stands on."""
