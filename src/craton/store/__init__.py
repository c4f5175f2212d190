"""The database, documents, and the pipeline through which every write goes; knows no domain."""
