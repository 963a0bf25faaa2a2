import ArgumentParser
import Logging
import Operator

/// Settings shared by the commands that work on the servers themselves. Each may also come from the environment or
/// from the configuration file, in this order.
struct ServerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where data, keys and logs are kept (MARTLET_DATA_DIR).",
            discussion: "Else $XDG_DATA_HOME/martlet or ~/.local/share/martlet; for root /var/lib/martlet.",
            valueName: "directory"), completion: .directory)
    var dataDir: String?

    @Option(
        help: ArgumentHelp(
            "A PostgreSQL to use (DATABASE_URL).", discussion: "Else that of 'martlet up'.", valueName: "url"))
    var databaseUrl: String?

    @Option(
        help: ArgumentHelp("A Redis to use (REDIS_URL).", discussion: "Else that of 'martlet up'.", valueName: "url"))
    var redisUrl: String?

    @Option(
        help: ArgumentHelp(
            "What makes VMs: local, docker, ovh, or several as 'local,docker' (VM_PROVIDER).",
            discussion: "The first makes new VMs. Else local.", valueName: "names"))
    var provider: String?

    @OptionGroup var docker: DockerOptions

    @Option(
        help: ArgumentHelp(
            "The program inside each VM (MARTLET_RUNNER).", discussion: "Else the one built or installed with this.",
            valueName: "path"), completion: .file())
    var runner: String?

    @Option(
        help: ArgumentHelp(
            "The languages (MARTLET_RUNTIMES).", discussion: "Else those that came with this.", valueName: "directory"),
        completion: .directory)
    var runtimes: String?

    @Option(
        help: ArgumentHelp(
            "The file of the key that secrets are sealed with (MARTLET_MASTER_KEY_FILE).",
            discussion: "Else master.key in the data directory. MARTLET_MASTER_KEY holds the key itself.",
            valueName: "path"), completion: .file())
    var masterKeyFile: String?

    @Option(
        help: ArgumentHelp(
            "The project of provider ovh (OVH_CLOUD_PROJECT_SERVICE).",
            discussion: """
                Its keys are not for the command line: OVH_APPLICATION_KEY, OVH_APPLICATION_SECRET and \
                OVH_CONSUMER_KEY, or the configuration file.
                """, valueName: "id"))
    var ovhProject: String?

    @Option(
        help: ArgumentHelp(
            "ovh-eu, ovh-ca, ovh-us or a URL (OVH_ENDPOINT).", discussion: "Else ovh-eu.", valueName: "endpoint"))
    var ovhEndpoint: String?

    @Option(
        help: ArgumentHelp(
            "Where provider ovh makes VMs (OVH_REGION).", discussion: "Else GRA11.", valueName: "region"))
    var ovhRegion: String?

    @OptionGroup var jobs: JobOptions

    @Option(
        help: ArgumentHelp(
            "The configuration file.", discussion: "Else $XDG_CONFIG_HOME/martlet/config.json, where it exists.",
            valueName: "path"), completion: .file())
    var config: String?

    @Option(
        help: ArgumentHelp(
            "trace, debug, info, notice, warning, error or critical (MARTLET_LOG_LEVEL).", valueName: "level"),
        transform: level)
    var logLevel: Logger.Level?

    @Option(
        help: ArgumentHelp(
            "auto, human or json (MARTLET_LOG_FORMAT); auto is human on a terminal.", valueName: "format"))
    var logFormat: LogFormat?

    /// Puts flags, environment and file together.
    func settings(_ listening: ListeningOptions? = nil, _ worker: WorkerOptions? = nil) throws -> Settings {
        var flags = SettingsLayer()
        jobs.set(in: &flags.worker)
        worker?.set(in: &flags.worker)
        flags.host = listening?.host
        flags.port = listening?.port
        flags.startTimeout = listening?.startTimeout
        flags.dataDirectory = dataDir
        flags.databaseURL = databaseUrl
        flags.redisURL = redisUrl
        flags.provider = provider
        docker.set(in: &flags)
        flags.runner = runner
        flags.runtimes = runtimes
        flags.masterKeyFile = masterKeyFile
        flags.logLevel = logLevel
        flags.logFormat = logFormat
        flags.ovhProject = ovhProject
        flags.ovhEndpoint = ovhEndpoint
        flags.ovhRegion = ovhRegion
        return try Settings(flags: flags, configurationFile: config ?? SettingsLayer.standardFile())
    }
}

/// How the provider `docker` reaches its engine.
struct DockerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The Docker engine (DOCKER_HOST).",
            discussion: """
                unix:///PATH or tcp://HOST:PORT, the latter with DOCKER_TLS_VERIFY=1. Else unix:///var/run/docker.sock.
                """, valueName: "url"))
    var dockerHost: String?

    @Option(
        help: ArgumentHelp(
            "The directory of ca.pem, cert.pem and key.pem (DOCKER_CERT_PATH).", discussion: "Else ~/.docker.",
            valueName: "directory"), completion: .directory)
    var dockerCertPath: String?

    @Option(
        help: ArgumentHelp(
            "Where on the engine's machine VMs are reached by SSH (MARTLET_DOCKER_ADDRESS).",
            discussion: "Else 127.0.0.1: for an engine of this machine.", valueName: "address"))
    var dockerAddress: String?

    @Option(
        help: ArgumentHelp(
            "The image that VMs of 'docker' are made of (MARTLET_IMAGE).", discussion: "Else martlet/vm:latest.",
            valueName: "name:tag"))
    var image: String?

    func set(in layer: inout SettingsLayer) {
        layer.dockerHost = dockerHost
        layer.dockerCertificates = dockerCertPath
        layer.dockerAddress = dockerAddress
        layer.image = image
    }
}

/// Where a gateway listens.
struct ListeningOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The address to listen on (MARTLET_HOST).", discussion: "Else 127.0.0.1: this machine only.",
            valueName: "address"))
    var host: String?

    @Option(
        help: ArgumentHelp(
            "The port to listen on, 0 for any free one (MARTLET_PORT).", discussion: "Else 4610.", valueName: "port"))
    var port: Int?

    @Option(
        help: ArgumentHelp(
            "How long a call waits for its VM to start (MARTLET_START_TIMEOUT).", discussion: "Else 60.",
            valueName: "seconds"))
    var startTimeout: Double?
}

@Sendable private func level(_ text: String) throws -> Logger.Level {
    guard let level = Logger.Level(rawValue: text) else {
        throw ValidationError("'\(text)' is no log level.")
    }
    return level
}

extension LogFormat: ExpressibleByArgument {}
