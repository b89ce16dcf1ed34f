"""What is wrong with an episode that was kept: judged while it is saved, told, never refused."""
