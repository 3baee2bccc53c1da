"""What a report is called, carries and weighs."""
