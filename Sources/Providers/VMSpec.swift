package import Cryptography

/// What a VM is to be. Holds secrets: its description leaves them out.
package struct VMSpec: Hashable, Codable, Sendable, CustomStringConvertible {
    package var name: String  // unique; lower-case letters, digits and hyphens, as in a DNS label
    package var vcpus: Int
    package var memoryMb: Int
    package var diskMb: Int  // of the home
    package var processes: Int
    package var network: Bool
    package var authorizedKeys: [String]  // lines of OpenSSH's authorized_keys
    package var hostKey: SSHKeyPair
    package var runnerSecret: String  // 64 hexadecimal digits
    package var flavor: String?  // a name from the provider's catalogue; nil: the cheapest that fits
    package var region: String?  // an id from the provider's catalogue; nil: the provider's own choice

    package init(
        name: String, vcpus: Int, memoryMb: Int, diskMb: Int, processes: Int, network: Bool = false,
        authorizedKeys: [String], hostKey: SSHKeyPair, runnerSecret: String, flavor: String? = nil,
        region: String? = nil
    ) {
        self.name = name
        self.vcpus = vcpus
        self.memoryMb = memoryMb
        self.diskMb = diskMb
        self.processes = processes
        self.network = network
        self.authorizedKeys = authorizedKeys
        self.hostKey = hostKey
        self.runnerSecret = runnerSecret
        self.flavor = flavor
        self.region = region
    }

    /// Of programs and all around them: each run has two of the runner's own beside the program's, each SSH connection
    /// two.
    var allProcesses: Int { processes + 2 * min(processes, 1024) + 128 }

    package var description: String {
        "\(name) (\(vcpus) vCPU, \(memoryMb) MB memory, \(diskMb) MB disk, \(processes) processes"
            + (network ? ", network)" : ")")
    }

    /// Refuses what no provider could make, before anything is made.
    func validate() throws(ProviderError) {
        guard Self.isName(name) else {
            throw .invalidSpec("'\(name)' is no VM name", hint: "Use 1-63 lower-case letters, digits and hyphens.")
        }
        guard (1...1024).contains(vcpus), (64...16_777_216).contains(memoryMb), (32...1_000_000_000).contains(diskMb),
            (32...4_000_000).contains(processes)
        else {
            throw .invalidSpec(
                "limits of '\(self)' out of range",
                hint: "At least 1 vCPU, 64 MB of memory, 32 MB of disk and 32 processes.")
        }
        guard authorizedKeys.allSatisfy({ !$0.contains(where: \.isNewline) && !$0.contains("\0") }) else {
            throw .invalidSpec("a key of '\(name)' holds a line break", hint: "Give each key as one line.")
        }
        guard runnerSecret.utf8.count == 64, runnerSecret.allSatisfy({ $0.isASCII && $0.isHexDigit }) else {
            throw .invalidSpec(
                "the runner's secret of '\(name)' has the wrong form", hint: "Give 64 hexadecimal digits.")
        }
    }

    /// Whether a name is safe as a file name, host name and cgroup name alike.
    static func isName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        return (1...63).contains(bytes.count) && bytes.first != UInt8(ascii: "-") && bytes.last != UInt8(ascii: "-")
            && bytes.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
            }
    }
}
