"""Records, ports and errors that the rooms share. Imports nothing of ours but itself."""
