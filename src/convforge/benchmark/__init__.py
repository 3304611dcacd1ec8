"""How long models take on this machine, compiled and in other engines, side by side."""
