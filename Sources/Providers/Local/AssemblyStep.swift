/// What is done on the machine, outside of a VM that is to start: in order, by one process, which then becomes the
/// program that starts it (`martlet-runner assemble`, `sandbox/assemble.c`).
enum AssemblyStep: Hashable {
    /// Into a file that is there.
    case write(String, to: String)
    case copyDescriptor(Int32, to: Int32)
    /// From here on, mounts and the root of control groups are the process's own.
    case unshare
    case bind(String, to: String, options: [String] = [])
    /// A file that holds an ext4 file system.
    case home(String, to: String)
    /// Puts an empty directory over one.
    case cover(String)

    /// As the program takes it.
    var words: [String] {
        switch self {
        case .write(let text, let path): ["write", text, path]
        case .copyDescriptor(let source, let target): ["copy", String(source), String(target)]
        case .unshare: ["unshare"]
        case .bind(let source, let target, let options):
            ["bind", source, target, options.joined(separator: ",")]
        case .home(let image, let target): ["home", image, target]
        case .cover(let path): ["cover", path]
        }
    }
}
