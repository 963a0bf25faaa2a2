# Output appears when it is printed, not when a buffer is full. Ruby has no option for this.
$stdout.sync = true

# A Ruby that was started ahead waits here for its arguments and variables (runtimes/README.md, "Warm"). It has opened
# its program and read what was in its place, so it is made to read again.
if ENV["MARTLET_WARM"]
  IO.open(900, "r+b") do |channel|
    channel.sync = true
    channel.write("R")
    length = channel.read(16) or exit!(70)
    texts = channel.read(length.to_i)&.split("\0", -1) or exit!(70)
    words = texts[2].to_i
    texts.each { |text| text.force_encoding(Encoding.default_external) }
    ARGV.concat(texts[3 + 4, words - 4].each(&:freeze)) # behind ruby, -r, this file and the program
    ENV.replace(texts[4 + words..-2].to_h { |text| text.split("=", 2) })
  end
  ObjectSpace.each_object(File) { |file| file.rewind if !file.closed? && file.path == $0 }
end
