"""One process that imports Dagster once, and forks a code server from it for each code location.

The forks share the pages of what was imported before: a further module costs what its code adds. The
folder is run by its path, with the Python of an environment that has Dagster and the modules' requirements::

    python module_servers --workspace workspace.yaml --served served.yaml --sockets /run/dagster [-- dagster dev …]

``--workspace`` is read, and read again when it changes. ``--served`` is written: the same code locations, as servers
that listen on sockets in the folder ``--sockets``. It is what Dagster's webserver and daemon are started with, in
whichever container, as long as that has the folder. A command behind ``--`` is started when all locations are settled;
when it ends, the servers end.

- A server that ends is started again, alone, after a pause that grows from one second to one minute.
- A request to reload starts a new server; the old one answers until the new one does, then ends with its last run.
- A server that does not listen after ``--patience`` seconds is ended; it keeps no other from starting.
- ``--memory`` limits what each server may allocate. Runs are separate processes, and have no limit from here.
- With ``--original``, each server is another user, which has the variables and a copy of the code of its module only
  (``apart``). This needs root, in a container that can keep the rights to change users.

It needs the standard library, and of Dagster what ``dagster api grpc`` consists of. Only Linux forks safely here.
"""
