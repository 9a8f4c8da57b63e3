"""The command ``clinical-qkt``: one file a group of commands; what they do is in the other rooms."""

from clinical_qkt.core.threads import one_thread

one_thread()  # before anything that a command imports
