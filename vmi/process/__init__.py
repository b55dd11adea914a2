"""What a process of ours is on its machine: its terminal, its signals, its temporary folder."""
