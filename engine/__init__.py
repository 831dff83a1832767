"""engine/: starts clusters, plans, submits, watches, resumes. The only room that knows dask."""
