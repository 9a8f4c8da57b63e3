"""How packages go between hospitals: sealed parcels, a desk for the people, carriers."""
