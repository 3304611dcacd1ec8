"""What shows a compiled classifier to people: `page/` is the web page of the target html."""
