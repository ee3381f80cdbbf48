"""What restores many photos: threads of this process, several processes, or Ray."""
