"""The only layer that knows everything: settings, migrations, and the processes of `craton up`."""
