import EventLoop
import Foundation

/// What an image is built from: its Dockerfile, the runner, the folders of languages, sshd's configuration.
struct ImageContext: Sendable {
    private struct Language: Decodable {
        let name: String
        let set: String?  // `base`, or for the full image only
        let packages: [String]
    }

    let languages: [String]
    let packages: [String]
    let runnerVersion: String
    private let runner: [UInt8]
    private let runtimes: [(path: String, content: [UInt8])]

    /// Reads all of it. Throws `provider_unavailable` naming what is missing.
    init(_ plan: ImageBuilder.Plan) async throws {
        guard let runner = Files.bytes(of: plan.runner), access(plan.runner, X_OK) == 0 else {
            throw ProviderError(
                .unavailable, "The runner '\(plan.runner)' is not there.", hint: "Build it: make runner")
        }
        self.runner = runner
        let answer = try await ChildProcess.run(.init(plan.runner, ["--version"]), deadline: .seconds(10))
        runnerVersion = answer.text.split(whereSeparator: \.isWhitespace).last.map(String.init) ?? "?"

        var known: [Language] = []
        var files: [(String, [UInt8])] = []
        for folder in Files.names(in: plan.runtimes) {
            let directory = "\(plan.runtimes)/\(folder)"
            guard let description = Files.bytes(of: "\(directory)/runtime.json") else { continue }
            do {
                known.append(try JSONDecoder().decode(Language.self, from: Data(description)))
            } catch {
                throw ProviderError(
                    .unavailable, "'\(directory)/runtime.json' does not describe a language: \(error)",
                    hint: "See runtimes/README.md.")
            }
            for file in Files.names(in: directory) {
                if let content = Files.bytes(of: "\(directory)/\(file)") {
                    files.append(("\(folder)/\(file)", content))
                }
            }
        }
        runtimes = files
        let wanted =
            switch plan.languages {
            case .base: known.filter { $0.set == "base" }.map(\.name)
            case .full: known.filter { !$0.packages.isEmpty }.map(\.name)
            case .named(let names): names
            }
        if let unknown = wanted.first(where: { name in !known.contains { $0.name == name } }) {
            throw ProviderError(
                .unavailable, "There is no language '\(unknown)' in '\(plan.runtimes)'.",
                hint: "There are: \(known.map(\.name).joined(separator: ", ")).")
        }
        let chosen = known.filter { wanted.contains($0.name) }
        languages = chosen.map(\.name)
        packages = Set(chosen.flatMap(\.packages)).sorted()
        // They become words of a shell's command.
        if let absent = chosen.first(where: { $0.packages.isEmpty }) {
            throw ProviderError(
                .unavailable, "Debian has no package of '\(absent.name)'.", hint: "Leave it out of --runtimes.")
        }
        guard packages.allSatisfy({ $0.wholeMatch(of: /[a-z0-9][a-z0-9+.-]+/) != nil }) else {
            throw ProviderError(
                .unavailable, "One of the packages \(packages) has no name that Debian knows.",
                hint: "Mend it in its runtime.json.")
        }
    }

    func archive(base: String) throws -> [UInt8] {
        var archive = TarArchive()
        try archive.addFile("Dockerfile", dockerfile(base: base), mode: 0o644)
        try archive.addFile("martlet-runner", runner, mode: 0o755)
        try archive.addFile(
            "sshd_config", Guest.sshdConfiguration(directory: Blueprint.settings, isStrict: true), mode: 0o644)
        for (path, content) in runtimes { try archive.addFile("runtimes/\(path)", content, mode: 0o644) }
        return archive.finished()
    }

    /// What changes most often comes last, so that the engine takes all before it from its cache.
    ///
    /// The account has no password, which is not the same as a locked one: sshd lets nobody into that. Host keys come with
    /// each VM; those that the package has made are thrown away. The health check says enough to be answered, and leaves
    /// before sshd finds that worth a line in its log.
    func dockerfile(base: String) -> String {
        let settings = Blueprint.settings
        return """
            FROM \(base)
            RUN mkdir -p /usr/share/man/man1 && apt-get update \\
                && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
                    bash ca-certificates openssh-server procps rsync \(packages.joined(separator: " ")) \\
                && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /etc/ssh/ssh_host_*
            RUN groupadd --gid \(Guest.userID) \(Guest.user) \\
                && useradd --uid \(Guest.userID) --gid \(Guest.userID) --create-home --home-dir \(Guest.home) \\
                    --shell /bin/bash --password '*' \(Guest.user) \\
                && mkdir -p \(settings) /run/sshd
            COPY sshd_config \(settings)/sshd_config
            COPY runtimes \(Guest.runtimes)
            COPY martlet-runner \(Guest.runner)
            EXPOSE 22
            HEALTHCHECK --interval=30s --timeout=5s --retries=3 CMD ["bash", "-c", \
            "exec 3<>/dev/tcp/127.0.0.1/22 && printf 'SSH-2.0-health\\\\r\\\\n' >&3 && read -r -t 4 -n 4 word <&3 && [ \\"$word\\" = SSH- ]"]
            LABEL \(Blueprint.Label.managed)="true" \(VMImage.Label.format)="\(VMImage.format)" \
            \(VMImage.Label.runtimes)="\(languages.joined(separator: ","))" \
            \(VMImage.Label.runner)="\(runnerVersion)"

            """
    }
}
