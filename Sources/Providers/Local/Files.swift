import Foundation

/// Small files and directories of a VM's state, with owners and modes. Synchronous: they are few and small.
enum Files {
    /// Makes the directory and what is missing above it, all with this mode. One that exists gets the mode.
    static func makeDirectory(_ path: String, mode: mode_t = 0o755) throws(ProviderError) {
        if mkdir(path, mode) != 0 {
            let code = errno
            if code == ENOENT {
                try makeDirectory((path as NSString).deletingLastPathComponent, mode: mode)
                guard mkdir(path, mode) == 0 || errno == EEXIST else { throw failure("make directory", path, errno) }
            } else if code != EEXIST {
                throw failure("make directory", path, code)
            }
        }
        guard chmod(path, mode) == 0 else { throw failure("set the mode of", path, errno) }
    }

    /// Writes the whole file under another name and then renames it, so that it is never seen half written.
    static func write(
        _ bytes: some Collection<UInt8>, to path: String, mode: mode_t = 0o644
    ) throws(ProviderError) {
        let temporary = path + ".new"
        try make(temporary, bytes, mode: mode)
        if rename(temporary, path) != 0 { throw failure("rename", temporary, errno) }
    }

    /// Makes the file, in the place of one that may be there.
    static func make(
        _ path: String, _ bytes: some Collection<UInt8>, mode: mode_t, owner: uid_t? = nil
    ) throws(ProviderError) {
        unlink(path)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failure("write", path, errno) }
        var code: Int32 = 0
        let whole = Array(bytes)
        var start = 0
        while start < whole.count, code == 0 {
            let count = whole[start...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { start += count } else if errno != EINTR { code = errno }
        }
        if code == 0, fchmod(descriptor, mode) != 0 { code = errno }
        if code == 0, let owner, fchown(descriptor, owner, owner) != 0 { code = errno }
        close(descriptor)
        if code != 0 {
            unlink(path)
            throw failure("write", path, code)
        }
    }

    static func make(_ path: String, _ text: String, mode: mode_t, owner: uid_t? = nil) throws(ProviderError) {
        try make(path, text.utf8, mode: mode, owner: owner)
    }

    static func write(_ text: String, to path: String, mode: mode_t = 0o644) throws(ProviderError) {
        try write(text.utf8, to: path, mode: mode)
    }

    /// Overwrites an existing file of the kernel's (control groups).
    static func set(_ path: String, to text: String) throws(ProviderError) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("write", path, errno) }
        defer { close(descriptor) }
        guard Foundation.write(descriptor, text, text.utf8.count) == text.utf8.count else {
            throw failure("write '\(text)' to", path, errno)
        }
    }

    static func link(_ path: String, to target: String) throws(ProviderError) {
        if symlink(target, path) == 0 || errno == EEXIST { return }
        throw failure("link", path, errno)
    }

    /// `nil` if it cannot be read.
    static func text(of path: String) -> String? {
        bytes(of: path).map { String(decoding: $0, as: UTF8.self) }
    }

    static func bytes(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count > 0 {
                bytes += buffer[..<count]
            } else if count == 0 {
                return bytes
            } else if errno != EINTR {
                return nil
            }
        }
    }

    /// The last `limit` bytes as text, from the first whole line on.
    static func tail(of path: String, limit: Int = 65_536) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = pread(descriptor, &buffer, limit, off_t(max(0, size - limit)))
        let text = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        guard size > limit, let newline = text.firstIndex(of: "\n") else { return text }
        return String(text[text.index(after: newline)...])
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    static func size(of path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    static func names(in path: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    static func failure(_ action: String, _ path: String, _ code: Int32) -> ProviderError {
        let isFull = code == ENOSPC || code == EDQUOT
        return ProviderError(
            .failed, "Could not \(action) \(path): \(String(cString: strerror(code))).",
            hint: isFull ? "Free some space on this machine." : "Look at the permissions of that path.")
    }
}
