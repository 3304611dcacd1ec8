"""Studies: claims of the papers, measured again on this machine, with the spread over seeds."""
