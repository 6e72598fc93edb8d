"""DVC stages: one public function per file, from files to files."""
