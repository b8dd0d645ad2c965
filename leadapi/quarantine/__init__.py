"""What programs sent that fill forms: caught, kept apart for a while, and never shown to them as caught."""
