"""What one does with a store of results: look over it, peek, export, cite."""
