"""城市数字平台 / 数据共享交换平台: a catalogue of data sets, the data in them, and change files."""
