"""The command line: HTTP clients of the native API, and `craton up`, which starts everything."""
