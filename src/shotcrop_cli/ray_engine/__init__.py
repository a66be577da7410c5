"""Crop on the machines of a Ray cluster.

Plain actors and not Ray Data: a decoded photo has some 100 MB, and Ray Data would copy it from step to step through
the object store. Here a worker takes a photo through all its steps, as a run on one machine does, and only what is to
be done and how it ended travels.
"""
