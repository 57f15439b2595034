"""Operations on real services, with synthetic streams where Btrfs is not what is tested."""
