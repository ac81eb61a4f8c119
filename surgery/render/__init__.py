"""What people see: views of reports, models and rewrites on a terminal."""
