"""What runs on a Dask cluster: its client and workers, arrays that processes of a host share, and progress."""
