"""The parts of robotd bench crash: lives, strikes, disks and the check after them."""
