"""What `imv doctor` looks at: small functions that each return findings."""
